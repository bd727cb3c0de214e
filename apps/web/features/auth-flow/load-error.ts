import "server-only";
import type { ComponentProps } from "react";
import type { ErrorCard } from "@/features/auth-flow/cards";
import { describeFailure, type Failure } from "@/features/failure/failure";
import { config } from "@/lib/config";
import { requestId } from "@/lib/door";
import { first, pageUrl, type Query } from "@/lib/flow-urls";
import { kratos, refusal } from "@/lib/kratos";
import { messages } from "@/lib/messages";

type OryError = ComponentProps<typeof ErrorCard>["error"];

/** Long enough for any true description; whoever writes the address bar should not get to write a page. */
const longestDescription = 300;

/** The error that this page explains: Kratos keeps its own under an id, Hydra puts its own in the address. */
export async function loadError(query: Query): Promise<{ error: OryError } | { failure: Failure }> {
  const correlationId = await requestId();
  const code = first(query, "error");
  if (code === "restart_loop") {
    const startAgain = pageUrl(config().publicUrl, "login");
    return { failure: { ...messages.failure.restartLoop, action: { startAgain } } };
  }
  const id = first(query, "id");
  if (id) {
    try {
      return { error: { ...(await kratos().getFlowError({ id })), correlationId } };
    } catch (error) {
      const { status } = await refusal(error);
      return status === 0 || status >= 500 || status === 429
        ? { failure: describeFailure("unavailable", status) }
        : { failure: { ...messages.failure.nothing, action: "home" } };
    }
  }
  if (code) {
    const description = first(query, "error_description") ?? "";
    return {
      error: {
        error: code.slice(0, longestDescription),
        error_description: description.slice(0, longestDescription),
        correlationId,
      },
    };
  }
  return { failure: { ...messages.failure.nothing, action: "home" } };
}
