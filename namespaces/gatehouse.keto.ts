// The permission model. Keto compiles this file; `stack check-opl` checks it before anything relies on it.
//
// Each hop through `traverse` costs 6 to 11 ms of CPU per check on a real Keto (a relation about 1 ms), so a
// gateway reaches its organization in one hop and a product its gateway in one more, and the direct
// relations are asked first. Roles of the platform's operations arrive with the operations.
import { Namespace, SubjectSet, Context } from "@ory/keto-namespace-types"

// A person: the id of a Kratos identity.
class User implements Namespace {}

// A machine: the id of a Hydra client. A namespace of its own, so a client is never taken for a person.
class Client implements Namespace {}

class Organization implements Namespace {
  related: {
    owners: User[]
    admins: User[]
    members: User[]
  }

  permits = {
    manage: (ctx: Context): boolean =>
      this.related.admins.includes(ctx.subject) || this.related.owners.includes(ctx.subject),

    view: (ctx: Context): boolean =>
      this.related.members.includes(ctx.subject) || this.permits.manage(ctx),
  }
}

class Gateway implements Namespace {
  related: {
    // Stored as a subject set with an empty relation, or traverse finds nothing.
    organization: Organization[]
    managers: (User | Client)[]
    viewers: (User | Client | SubjectSet<Organization, "members">)[]
  }

  permits = {
    manage: (ctx: Context): boolean =>
      this.related.managers.includes(ctx.subject) ||
      this.related.organization.traverse((o) => o.permits.manage(ctx)),

    view: (ctx: Context): boolean =>
      this.related.viewers.includes(ctx.subject) || this.permits.manage(ctx),
  }
}

class Product implements Namespace {
  related: {
    gateway: Gateway[]
    viewers: (User | Client | SubjectSet<Organization, "members">)[]
  }

  permits = {
    view: (ctx: Context): boolean =>
      this.related.viewers.includes(ctx.subject) ||
      this.related.gateway.traverse((g) => g.permits.view(ctx)),
  }
}
