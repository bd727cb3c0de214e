import { z } from "zod";

// What Kratos says instead of a flow. Only what decides the next step is read; ids of messages differ between its
// generations and are never looked at.
const kratosError = z.object({
  error: z.object({
    id: z.string().optional(),
    details: z.object({ return_to: z.string().optional() }).loose().optional().catch(undefined),
  }),
  use_flow_id: z.string().optional(),
});

export type FlowFailure =
  | { kind: "restart"; returnTo?: string }
  | { kind: "resume"; flowId: string }
  | { kind: "sign-in" }
  | { kind: "step-up" }
  | { kind: "unavailable"; status: number };

/** Status 0 stands for "no answer at all". */
export function classifyFlowFailure(status: number, body: unknown): FlowFailure {
  const parsed = kratosError.safeParse(body);
  const answer = parsed.success ? parsed.data : undefined;
  switch (status) {
    case 401:
      return { kind: "sign-in" };
    case 403:
      return answer?.error.id === "session_aal2_required" ? { kind: "step-up" } : { kind: "restart" };
    case 404:
      return { kind: "restart" };
    case 410:
      return answer?.use_flow_id
        ? { kind: "resume", flowId: answer.use_flow_id }
        : { kind: "restart", returnTo: answer?.error.details?.return_to };
    default:
      return { kind: "unavailable", status };
  }
}

/**
 * A browser that refuses cookies gets a flow that it may never read, and would be sent round for ever. A few restarts
 * in a row are normal (an old tab, a sleeping laptop), more are a loop.
 */
const restartsAllowed = 3;

/** The count to remember, or undefined when it is time to stop and say so. */
export function countRestart(before: string | undefined): number | undefined {
  const count = Number.parseInt(before ?? "0", 10);
  const next = Number.isFinite(count) && count > 0 ? count + 1 : 1;
  return next > restartsAllowed ? undefined : next;
}
