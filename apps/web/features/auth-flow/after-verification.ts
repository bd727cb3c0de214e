import { safeReturnTo } from "@/lib/return-to";

/**
 * Where a person goes on after the verification that follows a registration. Someone who registered on the way into an
 * application still has its login challenge to answer; Kratos would leave them on our home page instead.
 */
export function afterVerification(
  flow: { request_url?: string; return_to?: string },
  home: string,
): { href: string; toApplication: boolean } {
  const challenge =
    flow.request_url && URL.canParse(flow.request_url)
      ? new URL(flow.request_url).searchParams.get("login_challenge")
      : null;
  if (challenge) {
    return {
      href: `/auth/login?${new URLSearchParams({ login_challenge: challenge })}`,
      toApplication: true,
    };
  }
  return { href: safeReturnTo(flow.return_to, new URL(home).origin) ?? home, toApplication: false };
}
