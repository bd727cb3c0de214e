import "server-only";
import { z } from "zod";
import { describeFailure, type Failure } from "@/features/failure/failure";
import { config } from "@/lib/config";
import { first, pageUrl, type Query } from "@/lib/flow-urls";
import { kratos, refusal } from "@/lib/kratos";
import { messages } from "@/lib/messages";

const kratosError = z.object({
  code: z.number().int().catch(500),
  message: z.string().optional().catch(undefined),
  reason: z.string().optional().catch(undefined),
});

/** Long enough for any true description; whoever writes the address bar should not get to write a page. */
const longestDescription = 300;

const oauthCode = /^[a-z_]{1,64}$/;

/** What this page explains: Kratos keeps its errors under an id, Hydra puts its own in the address. */
export async function loadError(query: Query): Promise<Failure> {
  const code = first(query, "error");
  if (code === "restart_loop") {
    return { ...messages.failure.restartLoop, action: signIn() };
  }
  const id = first(query, "id");
  if (id) {
    return ofKratos(id);
  }
  if (code && oauthCode.test(code)) {
    const description = first(query, "error_description")?.slice(0, longestDescription);
    const quote = description ? `${code}: ${description}` : code;
    return { ...messages.failure.application, quote, action: "home" };
  }
  return { ...messages.failure.nothing, action: "home" };
}

function signIn() {
  return { startAgain: pageUrl(config().publicUrl, "login") };
}

async function ofKratos(id: string): Promise<Failure> {
  try {
    const { error } = await kratos().getFlowError({ id });
    const { code, message, reason } = kratosError.parse(error ?? {});
    if (code >= 500) {
      // Its reason may tell how Kratos is built; that belongs to its log.
      return { ...messages.failure.notFinished, status: code, action: "home" };
    }
    // A session that ended before its second factor was asked for is the usual 401.
    const action = code === 401 ? signIn() : "home";
    return { ...messages.failure.refused, quote: reason ?? message, status: code, action };
  } catch (error) {
    const { status, requestId } = await refusal(error);
    return status === 0 || status >= 500 || status === 429
      ? describeFailure("unavailable", status, requestId)
      : { ...messages.failure.nothing, action: "home" };
  }
}
