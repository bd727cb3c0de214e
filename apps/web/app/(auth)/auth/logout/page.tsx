import type { Metadata } from "next";
import { SignOutCard } from "@/features/person/sign-out-card";
import { Centered } from "@/features/site/centered";
import { first } from "@/lib/flow-urls";
import { messages } from "@/lib/messages";

export const metadata: Metadata = { title: messages.titles.logout };

export default async function LogoutPage({ searchParams }: PageProps<"/auth/logout">) {
  const askedByApplication = first(await searchParams, "logout_challenge") !== undefined;
  return (
    <Centered>
      <SignOutCard askedByApplication={askedByApplication} />
    </Centered>
  );
}
