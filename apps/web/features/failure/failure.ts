import { messages } from "@/lib/messages";

export type Failure = {
  title: string;
  text: string;
  /** What another server said, in its own words. It may come from the address bar, so it is shown as a quotation. */
  quote?: string;
  /** Status of the answer behind it; 0 when there was none; absent when no call was involved. */
  status?: number;
  /** The request that was answered so, as the logs know it; absent when it is that of the page. */
  requestId?: string;
  /** What the person can do: load this page again, go home, sign out, or follow a link to start the flow again. */
  action: "retry" | "home" | "sign-out" | { startAgain: string };
};

export type FailureKind =
  | "unavailable"
  | "apiUnavailable"
  | "stepUp"
  | "notBelieved"
  | "disabled"
  | "unexpected";

/** The notice for a call that failed. Too many attempts read the same whoever was called. */
export function describeFailure(kind: FailureKind, status: number, requestId?: string): Failure {
  const words = status === 429 ? messages.failure.busy : messages.failure[kind];
  return { ...words, status, requestId, action: kind === "disabled" ? "sign-out" : "retry" };
}
