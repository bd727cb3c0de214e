// The permission model. Keto compiles this file; `stack check-opl` checks it before anything relies on it.
//
// Relations are cumulative: whoever is an owner is also written as admin, editor and viewer, and a gateway points at its
// organization's relations (`gateway#viewers@Organization:o#members`), a product at its gateway's. So every permit is one
// relation, and no permit walks with `traverse`, which costs 6 to 11 ms of CPU per hop on a real Keto where a subject set
// costs 1 to 2. Which rows make which tuples is apps/api/internal/permission/tuples.go. Beside each permit is its price, allowed
// or denied, in SQL statements of Keto and milliseconds of CPU; docs/permissions.md says how it was measured, and why a principal
// is written as a subject id (`User:<id>`): as a subject set, a denial would cost one statement for each that was granted something.
import { Namespace, SubjectSet, Context } from "@ory/keto-namespace-types"

// A person: the id of a Kratos identity.
class User implements Namespace {}

// A machine: the id of a Hydra client. A namespace of its own, so a client is never taken for a person.
class Client implements Namespace {}

// An organization's API key, by its row's id. A person's key is asked about as that person.
class ApiKey implements Namespace {}

// The one object `gatehouse`.
class Platform implements Namespace {
  related: {
    admins: User[]
  }

  permits = {
    administer: (ctx: Context): boolean => this.related.admins.includes(ctx.subject), // 1, 0.8 ms
  }
}

class Organization implements Namespace {
  related: {
    owners: User[]
    admins: User[]
    members: User[]
  }

  permits = {
    view: (ctx: Context): boolean => this.related.members.includes(ctx.subject), // 1, 0.8 ms

    manage: (ctx: Context): boolean => this.related.admins.includes(ctx.subject), // 1, 0.8 ms
    manage_members: (ctx: Context): boolean => this.related.admins.includes(ctx.subject), // 1, 0.8 ms
    invite: (ctx: Context): boolean => this.related.admins.includes(ctx.subject), // 1, 0.8 ms
    view_audit: (ctx: Context): boolean => this.related.admins.includes(ctx.subject), // 1, 0.8 ms
    create_gateway: (ctx: Context): boolean => this.related.admins.includes(ctx.subject), // 1, 0.8 ms
    create_credentials: (ctx: Context): boolean => this.related.admins.includes(ctx.subject), // 1, 0.8 ms

    delete: (ctx: Context): boolean => this.related.owners.includes(ctx.subject), // 1, 0.8 ms
    transfer: (ctx: Context): boolean => this.related.owners.includes(ctx.subject), // 1, 0.8 ms
  }
}

class Gateway implements Namespace {
  related: {
    owners: (User | Client | ApiKey | SubjectSet<Organization, "owners"> | SubjectSet<Organization, "members">)[]
    admins: (User | Client | ApiKey | SubjectSet<Organization, "admins"> | SubjectSet<Organization, "members">)[]
    editors: (User | Client | ApiKey | SubjectSet<Organization, "admins"> | SubjectSet<Organization, "members">)[]
    viewers: (User | Client | ApiKey | SubjectSet<Organization, "members">)[]
  }

  permits = {
    view: (ctx: Context): boolean => this.related.viewers.includes(ctx.subject), // 1 by a grant, 2 by the organization, 1.3 ms

    edit: (ctx: Context): boolean => this.related.editors.includes(ctx.subject), // 1 by a grant, 2 by the organization, 1.3 ms
    publish_config: (ctx: Context): boolean => this.related.editors.includes(ctx.subject), // 1 by a grant, 2 by the organization, 1.3 ms
    create_product: (ctx: Context): boolean => this.related.editors.includes(ctx.subject), // 1 by a grant, 2 by the organization, 1.3 ms

    manage: (ctx: Context): boolean => this.related.admins.includes(ctx.subject), // 1 by a grant, 2 by the organization, 1.3 ms
    grant: (ctx: Context): boolean => this.related.admins.includes(ctx.subject), // 1 by a grant, 2 by the organization, 1.3 ms

    delete: (ctx: Context): boolean => this.related.owners.includes(ctx.subject), // 1 by a grant, 2 by the organization, 1.3 ms
  }
}

class Product implements Namespace {
  related: {
    admins: SubjectSet<Gateway, "admins">[]
    editors: SubjectSet<Gateway, "editors">[]
    // A private product's are its gateway's editors; any other's are its gateway's viewers. That a public one may be
    // seen by everybody is answered from its row.
    viewers: (SubjectSet<Gateway, "editors"> | SubjectSet<Gateway, "viewers">)[]
  }

  permits = {
    view: (ctx: Context): boolean => this.related.viewers.includes(ctx.subject), // 3, 1.5 ms

    edit: (ctx: Context): boolean => this.related.editors.includes(ctx.subject), // 3, 1.5 ms

    publish: (ctx: Context): boolean => this.related.admins.includes(ctx.subject), // 3, 1.5 ms
    manage: (ctx: Context): boolean => this.related.admins.includes(ctx.subject), // 3, 1.5 ms
    delete: (ctx: Context): boolean => this.related.admins.includes(ctx.subject), // 3, 1.5 ms
  }
}
