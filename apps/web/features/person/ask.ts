import "server-only";
import { cookies } from "next/headers";
import { redirect } from "next/navigation";
import type { z } from "zod";
import { describeFailure, type Failure } from "@/features/failure/failure";
import { config } from "@/lib/config";
import { answerId, callApi, DoorUnreachable } from "@/lib/door";
import { pageUrl } from "@/lib/flow-urls";
import { sessionCookie, sessionState } from "@/lib/kratos";
import { type Problem, readProblem } from "@/lib/problem";

export type Answer<T> =
  | { kind: "answer"; answer: T }
  | { kind: "stranger" }
  | { kind: "refused"; problem: Problem }
  | { kind: "failure"; failure: Failure };

/** Asks the API as the person whose page this is. `here` is where a second factor, if one is missing, leads back to. */
export async function ask<T>(path: `/api/${string}`, schema: z.ZodType<T>, here: string): Promise<Answer<T>> {
  let response: Response;
  try {
    response = await callApi(path);
  } catch (error) {
    if (error instanceof DoorUnreachable) {
      return { kind: "failure", failure: describeFailure("apiUnavailable", 0) };
    }
    throw error;
  }
  if (response.ok) {
    const parsed = schema.safeParse(await response.json().catch(() => undefined));
    return parsed.success
      ? { kind: "answer", answer: parsed.data }
      : { kind: "failure", failure: describeFailure("unexpected", response.status, answerId(response)) };
  }
  const problem = await readProblem(response);
  return problem.status === 401 || problem.code === "step_up_required"
    ? notLetIn(problem, here)
    : { kind: "refused", problem };
}

/** The notice for a refusal that the page has no better words for. */
export function describeProblem({ status, code, request_id }: Problem): Failure {
  if (code === "account_disabled") {
    return describeFailure("disabled", status, request_id);
  }
  return describeFailure(
    status >= 502 && status <= 504 ? "apiUnavailable" : "unexpected",
    status,
    request_id,
  );
}

/**
 * The door let nobody in. Kratos is asked why before anyone is sent to it: once it is content, sending the person there
 * would only bring them straight back. It also knows of a missing second factor that a gate may call "nobody".
 */
async function notLetIn({ status, request_id }: Problem, here: string): Promise<Answer<never>> {
  if (!(await cookies()).has(sessionCookie)) {
    return { kind: "stranger" };
  }
  const state = await sessionState();
  switch (state.kind) {
    case "none":
      return { kind: "stranger" };
    case "needs-second-factor":
      return redirect(pageUrl(config().publicUrl, "login", { aal: "aal2", return_to: here }));
    case "active": {
      const kind = status === 401 ? "notBelieved" : "stepUp";
      return { kind: "failure", failure: describeFailure(kind, status, request_id) };
    }
    case "unavailable":
      return { kind: "failure", failure: describeFailure("unavailable", state.status, state.requestId) };
  }
}
