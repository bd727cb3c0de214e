import { safeReturnTo } from "@/lib/return-to";

export const flowKinds = ["login", "registration", "recovery", "verification", "settings"] as const;
export type FlowKind = (typeof flowKinds)[number];

export function isFlowKind(value: string): value is FlowKind {
  return (flowKinds as readonly string[]).includes(value);
}

export type Query = Record<string, string | string[] | undefined>;

/** The first value of a parameter: a repeated one is a mistake or a trick, and must not reach Kratos twice. */
export function first(query: Query, name: string): string | undefined {
  const value = query[name];
  return Array.isArray(value) ? value[0] : value;
}

/** What of our own page's query a flow may be started with. Everything else stays here. */
function passedOn(kind: FlowKind, query: Query, publicUrl: string): URLSearchParams {
  const passed = new URLSearchParams();
  const add = (name: string, value: string | undefined) => {
    if (value) {
      passed.set(name, value);
    }
  };
  add("return_to", safeReturnTo(first(query, "return_to"), publicUrl));
  if (kind === "login" || kind === "registration") {
    add("login_challenge", first(query, "login_challenge"));
  }
  if (kind === "login") {
    const aal = first(query, "aal");
    add("aal", aal === "aal1" || aal === "aal2" ? aal : undefined);
    add("refresh", first(query, "refresh") === "true" ? "true" : undefined);
  }
  return passed;
}

function withQuery(url: string, query: URLSearchParams): string {
  const text = query.toString();
  return text === "" ? url : `${url}?${text}`;
}

/**
 * Where Kratos starts a flow. Absolute at the public origin: this server listens somewhere else, and a relative
 * redirect would be followed by Next's router inside this app instead of by the browser at the door.
 */
export function initUrl(publicUrl: string, kind: FlowKind, query: Query = {}): string {
  return withQuery(`${publicUrl}/.ory/self-service/${kind}/browser`, passedOn(kind, query, publicUrl));
}

/** Our own page of a flow, which starts a fresh one. */
export function pageUrl(publicUrl: string, kind: FlowKind, query: Query = {}): string {
  return withQuery(`${publicUrl}/auth/${kind}`, passedOn(kind, query, publicUrl));
}

/** Starts a flow anew, counted: see the route of that name. */
export function restartUrl(publicUrl: string, kind: FlowKind, query: Query = {}): string {
  return withQuery(`${publicUrl}/auth/restart/${kind}`, passedOn(kind, query, publicUrl));
}

/** The page of a flow that exists already. */
export function resumeUrl(publicUrl: string, kind: FlowKind, flowId: string): string {
  return withQuery(`${publicUrl}/auth/${kind}`, new URLSearchParams({ flow: flowId }));
}
