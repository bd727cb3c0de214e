import "server-only";
import { randomUUID } from "node:crypto";
import { headers } from "next/headers";
import { cache } from "react";
import { config } from "@/lib/config";

/** Nothing behind the door takes this long when it is well; a page must not hang with what is not. */
const patience = 5_000;

/** What of the browser's request goes along: who it is, and what ties the logs together. Nothing else. */
const forwarded = ["cookie", "traceparent"];

/** No answer at all: refused, reset or too slow. */
export class DoorUnreachable extends Error {
  override readonly name = "DoorUnreachable";
}

/** The id under which this page's request is found in every log; one per request, made here if the door made none. */
export const requestId = cache(
  async (): Promise<string> => (await headers()).get("x-request-id") ?? randomUUID(),
);

/**
 * The only way out of this server. It goes through the door like any browser, so the web app needs no reach to an
 * inner port, and every answer is one that the person could have had.
 */
export const doorFetch: typeof fetch = async (input, init) => {
  const incoming = await headers();
  const outgoing = new Headers(init?.headers);
  outgoing.set("x-request-id", await requestId());
  for (const name of forwarded) {
    const value = incoming.get(name);
    if (value !== null) {
      outgoing.set(name, value);
    }
  }
  try {
    return await fetch(input, {
      ...init,
      headers: outgoing,
      cache: "no-store",
      // A redirect here is meant for the browser. Following it would carry the cookie to wherever it leads.
      redirect: "manual",
      signal: AbortSignal.timeout(patience),
    });
  } catch (cause) {
    throw new DoorUnreachable("no answer from the door", { cause });
  }
};

/** A call to the API as the person whose page this is. */
export function callApi(path: `/api/${string}`): Promise<Response> {
  return doorFetch(config().doorUrl + path, { headers: { accept: "application/json" } });
}
