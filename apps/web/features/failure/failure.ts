import { messages } from "@/lib/messages";

export type Failure = {
  title: string;
  text: string;
  /** Status of the answer behind it; 0 when there was none; absent when no call was involved. */
  status?: number;
  /** What the person can do: load this page again, go home, or follow a link to start the flow again. */
  action: "retry" | "home" | { startAgain: string };
};

export type FailureKind =
  | "unavailable"
  | "apiUnavailable"
  | "stepUp"
  | "notBelieved"
  | "disabled"
  | "unexpected";

/** The notice for a call that failed. Too many attempts read the same whoever was called. */
export function describeFailure(kind: FailureKind, status: number): Failure {
  if (status === 429) {
    return { ...messages.failure.busy, status, action: "retry" };
  }
  return { ...messages.failure[kind], status, action: kind === "disabled" ? "home" : "retry" };
}
