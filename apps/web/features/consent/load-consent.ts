import "server-only";
import { redirect } from "next/navigation";
import { type ConsentRequest, consentRequestSchema } from "@/features/consent/consent";
import type { Failure } from "@/features/failure/failure";
import { ask, describeProblem } from "@/features/person/ask";
import { config } from "@/lib/config";
import { pageUrl } from "@/lib/flow-urls";
import { messages } from "@/lib/messages";
import type { Problem } from "@/lib/problem";

export type ConsentOutcome = { request: ConsentRequest } | { failure: Failure };

export async function loadConsent(challenge: string): Promise<ConsentOutcome> {
  const query = new URLSearchParams({ consent_challenge: challenge });
  const here = `/auth/consent?${query}`;
  const asked = await ask(`/api/oauth2/consent?${query}`, consentRequestSchema, here);
  switch (asked.kind) {
    case "answer":
      return { request: asked.answer };
    case "stranger":
      return redirect(pageUrl(config().publicUrl, "login", { return_to: here }));
    case "refused":
      return { failure: refused(asked.problem) };
    case "failure":
      return asked;
  }
}

function refused(problem: Problem): Failure {
  const { status, request_id: requestId } = problem;
  if (problem.code === "forbidden") {
    return { ...messages.consent.notYours, status, requestId, action: "home" };
  }
  if ([400, 404, 409, 410].includes(status)) {
    return { ...messages.consent.gone, status, requestId, action: "home" };
  }
  return describeProblem(problem);
}
