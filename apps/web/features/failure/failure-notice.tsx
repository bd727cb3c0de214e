import type { Failure } from "@/features/failure/failure";
import { ButtonLink } from "@/features/site/button";
import { Card } from "@/features/site/card";
import { requestId } from "@/lib/door";
import { messages } from "@/lib/messages";

/** A failure that the person can do something about, with what an operator needs to find it in the logs. */
export async function FailureNotice({ failure }: { failure: Failure }) {
  const { action, quote, status } = failure;
  return (
    <Card title={failure.title} text={failure.text}>
      {quote && (
        <blockquote
          data-testid="failure-quote"
          className="wrap-anywhere border-line border-l-4 pl-4 font-mono text-sm/6"
        >
          {quote}
        </blockquote>
      )}
      <div className="flex flex-wrap gap-3">
        {/* An empty address is this page with its query: loading it again is the retry. */}
        {action === "retry" && <ButtonLink href="">{messages.failure.tryAgain}</ButtonLink>}
        {action === "sign-out" && <ButtonLink href="/auth/logout">{messages.site.signOut}</ButtonLink>}
        {typeof action === "object" && (
          <ButtonLink href={action.startAgain}>{messages.failure.startAgain}</ButtonLink>
        )}
        <ButtonLink href="/" variant={action === "home" ? "primary" : "secondary"}>
          {messages.failure.goHome}
        </ButtonLink>
      </div>
      {status !== undefined && (
        <div className="border-line border-t pt-4 text-muted text-sm">
          <p>{messages.failure.report}</p>
          <dl className="mt-2 grid grid-cols-[auto_1fr] gap-x-3 gap-y-1">
            <dt>{messages.failure.status}</dt>
            <dd data-testid="failure-status">{status === 0 ? messages.failure.noAnswer : status}</dd>
            <dt>{messages.failure.requestId}</dt>
            <dd>
              <code data-testid="failure-request-id" className="break-all">
                {failure.requestId ?? (await requestId())}
              </code>
            </dd>
          </dl>
        </div>
      )}
    </Card>
  );
}
