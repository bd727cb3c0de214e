import { ButtonLink } from "@/features/site/button";
import { logoutUrl } from "@/lib/kratos";
import { messages } from "@/lib/messages";

/** Signs out in one step. When Kratos has no token to give, the sign-out page explains. */
export async function SignOutLink() {
  const url = await logoutUrl();
  return (
    <ButtonLink href={url ?? "/auth/logout"} variant="secondary" size="small" data-testid="sign-out">
      {messages.site.signOut}
    </ButtonLink>
  );
}
