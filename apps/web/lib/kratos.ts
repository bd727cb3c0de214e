import "server-only";
import { Configuration, FrontendApi, isResponseError, type Session } from "@ory/client-fetch";
import { config } from "@/lib/config";
import { answerId, doorFetch } from "@/lib/door";
import { safeReturnTo } from "@/lib/return-to";

export function kratos(): FrontendApi {
  return new FrontendApi(
    new Configuration({
      basePath: `${config().doorUrl}/.ory`,
      headers: { accept: "application/json" },
      fetchApi: doorFetch,
    }),
  );
}

export type Refusal = { status: number; body: unknown; requestId?: string };

/** What a call was refused with; status 0 when there was no answer. */
export async function refusal(error: unknown): Promise<Refusal> {
  if (!isResponseError(error)) {
    return { status: 0, body: undefined };
  }
  const body: unknown = await error.response.json().catch(() => undefined);
  return { status: error.response.status, body, requestId: answerId(error.response) };
}

/** Kratos' name for the cookie of a session, as it is configured. */
export const sessionCookie = "ory_kratos_session";

export type SessionState =
  | { kind: "active"; session: Session }
  | { kind: "none" }
  | { kind: "needs-second-factor" }
  | { kind: "unavailable"; status: number; requestId?: string };

/** What Kratos itself thinks of this browser: asked before sending anyone round, so that a stale "no" cannot loop. */
export async function sessionState(): Promise<SessionState> {
  try {
    return { kind: "active", session: await kratos().toSession() };
  } catch (error) {
    const { status, requestId } = await refusal(error);
    switch (status) {
      case 401:
        return { kind: "none" };
      case 403:
        return { kind: "needs-second-factor" };
      default:
        return { kind: "unavailable", status, requestId };
    }
  }
}

/**
 * The address that ends this session. Its token is bound to the session and comes from Kratos, so no other site can
 * make a link that signs people out. Undefined without a session, or when Kratos does not answer.
 */
export async function logoutUrl(): Promise<string | undefined> {
  const { publicUrl } = config();
  try {
    const flow = await kratos().createBrowserLogoutFlow({ returnTo: `${publicUrl}/` });
    return safeReturnTo(flow.logout_url, publicUrl);
  } catch {
    return undefined;
  }
}
