// The permission model. Keto compiles this file; `stack check-opl` checks it before anything relies on it.
//
// Relations are cumulative: whoever is an owner is also written as admin, editor and viewer, and a gateway points at its
// organization's relations (`gateway#viewers@Organization:o#members`), a product at its gateway's. So every permit is one
// relation, and no permit walks with `traverse`, which costs 6 to 11 ms of CPU per hop on a real Keto where a subject set
// costs 1 to 2. Which rows make which tuples is apps/api/internal/permission/tuples.go; the price of each permit, allowed and
// denied, is in docs/permissions.md.
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
    administer: (ctx: Context): boolean => this.related.admins.includes(ctx.subject),
  }
}

class Organization implements Namespace {
  related: {
    owners: User[]
    admins: User[]
    members: User[]
  }

  permits = {
    view: (ctx: Context): boolean => this.related.members.includes(ctx.subject),

    manage: (ctx: Context): boolean => this.related.admins.includes(ctx.subject),
    manage_members: (ctx: Context): boolean => this.related.admins.includes(ctx.subject),
    invite: (ctx: Context): boolean => this.related.admins.includes(ctx.subject),
    view_audit: (ctx: Context): boolean => this.related.admins.includes(ctx.subject),
    create_gateway: (ctx: Context): boolean => this.related.admins.includes(ctx.subject),
    create_credentials: (ctx: Context): boolean => this.related.admins.includes(ctx.subject),

    delete: (ctx: Context): boolean => this.related.owners.includes(ctx.subject),
    transfer: (ctx: Context): boolean => this.related.owners.includes(ctx.subject),
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
    view: (ctx: Context): boolean => this.related.viewers.includes(ctx.subject),

    edit: (ctx: Context): boolean => this.related.editors.includes(ctx.subject),
    publish_config: (ctx: Context): boolean => this.related.editors.includes(ctx.subject),
    create_product: (ctx: Context): boolean => this.related.editors.includes(ctx.subject),

    manage: (ctx: Context): boolean => this.related.admins.includes(ctx.subject),
    grant: (ctx: Context): boolean => this.related.admins.includes(ctx.subject),

    delete: (ctx: Context): boolean => this.related.owners.includes(ctx.subject),
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
    view: (ctx: Context): boolean => this.related.viewers.includes(ctx.subject),

    edit: (ctx: Context): boolean => this.related.editors.includes(ctx.subject),

    publish: (ctx: Context): boolean => this.related.admins.includes(ctx.subject),
    manage: (ctx: Context): boolean => this.related.admins.includes(ctx.subject),
    delete: (ctx: Context): boolean => this.related.admins.includes(ctx.subject),
  }
}
