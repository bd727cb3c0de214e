import { connection } from "next/server";
import { FailurePage } from "@/features/failure/failure-page";
import { whoIsHere } from "@/features/person/me";
import { PersonCard } from "@/features/person/person-card";
import { SignOutLink } from "@/features/person/sign-out-link";
import { HeaderLink, SiteHeader } from "@/features/site/header";
import { Welcome } from "@/features/site/welcome";
import { messages } from "@/lib/messages";

export default async function HomePage() {
  await connection();
  const visitor = await whoIsHere("/");
  switch (visitor.kind) {
    case "failure":
      return <FailurePage failure={visitor.failure} />;
    case "person":
      return (
        <>
          <SiteHeader>
            <HeaderLink href="/auth/settings">{messages.site.account}</HeaderLink>
            <SignOutLink />
          </SiteHeader>
          <main className="mx-auto w-full max-w-3xl px-5 py-10 sm:py-16">
            <PersonCard person={visitor.person} />
          </main>
        </>
      );
    case "stranger":
      return <Welcome />;
  }
}
