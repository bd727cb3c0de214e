import { messages } from "@/lib/messages";

/** Why a form was not accepted although nothing in it is wrong, and the request to ask an operator about. */
export type Trouble = { text: string; requestId?: string };

export function TroubleText({ trouble }: { trouble: Trouble }) {
  return (
    <>
      <p>{trouble.text}</p>
      {trouble.requestId && (
        <p className="mt-1 text-sm">
          {messages.failure.requestId} <code className="break-all">{trouble.requestId}</code>
        </p>
      )}
    </>
  );
}
