import "server-only";
import { redirect } from "next/navigation";
import { type ConsentRequest, consentRequestSchema } from "@/features/consent/consent";
import { describeFailure, type Failure } from "@/features/failure/failure";
import { config } from "@/lib/config";
import { callApi, DoorUnreachable } from "@/lib/door";
import { pageUrl } from "@/lib/flow-urls";
import { sessionState } from "@/lib/kratos";
import { messages } from "@/lib/messages";
import { type Problem, readProblem } from "@/lib/problem";

export type ConsentOutcome = { request: ConsentRequest } | { failure: Failure };

export async function loadConsent(challenge: string): Promise<ConsentOutcome> {
  const query = new URLSearchParams({ consent_challenge: challenge });
  let response: Response;
  try {
    response = await callApi(`/api/oauth2/consent?${query}`);
  } catch (error) {
    if (error instanceof DoorUnreachable) {
      return { failure: describeFailure("apiUnavailable", 0) };
    }
    throw error;
  }
  if (response.ok) {
    const parsed = consentRequestSchema.safeParse(await response.json().catch(() => undefined));
    return parsed.success
      ? { request: parsed.data }
      : { failure: describeFailure("unexpected", response.status) };
  }
  return { failure: await refused(await readProblem(response), `/auth/consent?${query}`) };
}

async function refused(problem: Problem, here: string): Promise<Failure> {
  const { publicUrl } = config();
  const { status, code } = problem;
  if (status === 401) {
    if ((await sessionState()).kind !== "active") {
      redirect(pageUrl(publicUrl, "login", { return_to: here }));
    }
    return describeFailure("notBelieved", status);
  }
  if (code === "step_up_required") {
    if ((await sessionState()).kind !== "active") {
      redirect(pageUrl(publicUrl, "login", { aal: "aal2", return_to: here }));
    }
    return describeFailure("stepUp", status);
  }
  if (code === "account_disabled") {
    return describeFailure("disabled", status);
  }
  if (status === 403) {
    return { ...messages.consent.notYours, status, action: "home" };
  }
  if ([400, 404, 409, 410].includes(status)) {
    return { ...messages.consent.gone, status, action: "home" };
  }
  return describeFailure(
    status === 503 || status === 504 || status === 502 ? "apiUnavailable" : "unexpected",
    status,
  );
}
