import { describeFailure } from "@/features/failure/failure";
import { FailureNotice } from "@/features/failure/failure-notice";
import { ButtonLink } from "@/features/site/button";
import { Card } from "@/features/site/card";
import { logoutUrl, sessionState } from "@/lib/kratos";
import { messages } from "@/lib/messages";

/** Asks before ending the session, because anyone can link to this page; only the link it shows can end it. */
export async function SignOutCard({ askedByApplication }: { askedByApplication: boolean }) {
  const words = messages.logout;
  const [url, state] = await Promise.all([logoutUrl(), sessionState()]);
  if (url) {
    return (
      <Card title={words.title} text={askedByApplication ? words.askedByApplication : words.text}>
        <div className="flex flex-wrap gap-3">
          <ButtonLink href={url} data-testid="sign-out">
            {messages.site.signOut}
          </ButtonLink>
          <ButtonLink href="/" variant="secondary">
            {words.stay}
          </ButtonLink>
        </div>
      </Card>
    );
  }
  if (state.kind === "none") {
    return (
      <Card title={words.none.title} text={words.none.text}>
        <div className="flex flex-wrap gap-3">
          <ButtonLink href="/auth/login">{messages.site.signIn}</ButtonLink>
          <ButtonLink href="/" variant="secondary">
            {messages.failure.goHome}
          </ButtonLink>
        </div>
      </Card>
    );
  }
  const failure =
    state.kind === "unavailable"
      ? describeFailure("unavailable", state.status, state.requestId)
      : describeFailure("unavailable", 0);
  return <FailureNotice failure={failure} />;
}
