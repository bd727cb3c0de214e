import "server-only";
import type { FrontendApi } from "@ory/client-fetch";
import { cookies, headers } from "next/headers";
import { redirect } from "next/navigation";
import { describeFailure, type Failure } from "@/features/failure/failure";
import { config } from "@/lib/config";
import { classifyFlowFailure } from "@/lib/flow-failure";
import { type FlowKind, first, initUrl, pageUrl, type Query, restartUrl, resumeUrl } from "@/lib/flow-urls";
import { kratos, type Refusal, refusal } from "@/lib/kratos";
import { messages } from "@/lib/messages";

const fetchers = {
  login: (api: FrontendApi, id: string) => api.getLoginFlow({ id }),
  registration: (api: FrontendApi, id: string) => api.getRegistrationFlow({ id }),
  recovery: (api: FrontendApi, id: string) => api.getRecoveryFlow({ id }),
  verification: (api: FrontendApi, id: string) => api.getVerificationFlow({ id }),
  settings: (api: FrontendApi, id: string) => api.getSettingsFlow({ id }),
};

export type FlowOf<K extends FlowKind> = Awaited<ReturnType<(typeof fetchers)[K]>>;

/**
 * The flow that this page is for. Without one the browser is sent to Kratos to begin; with one that is gone it begins
 * again; when Kratos does not answer, the page says so and sends nobody anywhere.
 */
export async function openFlow<K extends FlowKind>(
  kind: K,
  query: Query,
): Promise<{ flow: FlowOf<K> } | { failure: Failure }> {
  // Asked for first: it tells Next that this page belongs to one request, before anything can catch that.
  await headers();
  const { publicUrl } = config();
  const id = first(query, "flow");
  if (!id) {
    redirect(initUrl(publicUrl, kind, query));
  }
  try {
    return { flow: (await fetchers[kind](kratos(), id)) as FlowOf<K> };
  } catch (error) {
    return { failure: await next(kind, query, id, await refusal(error)) };
  }
}

async function next(
  kind: FlowKind,
  query: Query,
  id: string,
  { status, body, requestId }: Refusal,
): Promise<Failure> {
  const { publicUrl } = config();
  const failure = classifyFlowFailure(status, body);
  switch (failure.kind) {
    case "sign-in":
      redirect(pageUrl(publicUrl, "login", { return_to: `/auth/${kind}` }));
      break;
    case "step-up":
      redirect(pageUrl(publicUrl, "login", { aal: "aal2", return_to: resumeUrl(publicUrl, kind, id) }));
      break;
    case "resume":
      redirect(resumeUrl(publicUrl, kind, failure.flowId));
      break;
    case "restart": {
      const again = { ...query, return_to: failure.returnTo ?? query.return_to };
      if (await cookiesArrive()) {
        redirect(restartUrl(publicUrl, kind, again));
      }
      return { ...messages.failure.expired, action: { startAgain: pageUrl(publicUrl, kind, again) } };
    }
    case "unavailable":
      return describeFailure("unavailable", failure.status, requestId);
  }
}

/**
 * Without any cookie the restarts could not be counted. That is an old link in a fresh browser, or a browser that
 * refuses cookies: the person decides, and no loop can begin.
 */
async function cookiesArrive(): Promise<boolean> {
  return (await cookies()).size > 0;
}
