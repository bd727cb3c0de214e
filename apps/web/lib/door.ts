import "server-only";
import { randomBytes, randomUUID } from "node:crypto";
import { headers } from "next/headers";
import { cache } from "react";
import { config } from "@/lib/config";

/** Nothing behind the door takes this long when it is well; a page must not hang with what is not. */
const patience = 5_000;

/** No answer at all: refused, reset or too slow. */
export class DoorUnreachable extends Error {
  override readonly name = "DoorUnreachable";
}

/** The door's id of this page's request; one per request, made here if the door made none. */
export const requestId = cache(
  async (): Promise<string> => (await headers()).get("x-request-id") ?? randomUUID(),
);

/** The id of an answer's own request: the door gives each call a new one, and its log and the API's know that one. */
export function answerId(response: Response): string | undefined {
  return response.headers.get("x-request-id") ?? undefined;
}

/**
 * What ties the page's request to the calls made for it in the logs: the trace that the door began or, where it begins
 * none, one named after the page's request.
 */
async function traceparent(): Promise<string> {
  const begun = (await headers()).get("traceparent");
  if (begun !== null) {
    return begun;
  }
  const trace = (await requestId()).replaceAll("-", "");
  return `00-${/^[0-9a-f]{32}$/.test(trace) ? trace : randomBytes(16).toString("hex")}-${randomBytes(8).toString("hex")}-00`;
}

/**
 * The only way out of this server. It goes through the door like any browser, so the web app needs no reach to an
 * inner port, and every answer is one that the person could have had.
 */
export const doorFetch: typeof fetch = async (input, init) => {
  // Of the browser's request only its cookie goes along: who is asking, and nothing else.
  const cookie = (await headers()).get("cookie");
  const outgoing = new Headers(init?.headers);
  outgoing.set("traceparent", await traceparent());
  if (cookie !== null) {
    outgoing.set("cookie", cookie);
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
