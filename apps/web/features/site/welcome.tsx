import { ButtonLink } from "@/features/site/button";
import { SiteHeader } from "@/features/site/header";
import { messages } from "@/lib/messages";

/** What a person sees who is not signed in. */
export function Welcome() {
  const words = messages.home;
  return (
    <>
      <SiteHeader />
      <main className="mx-auto grid w-full max-w-5xl gap-16 px-5 py-16 sm:py-24">
        <section className="grid max-w-2xl gap-6">
          <h1 className="text-balance font-semibold text-4xl tracking-tight sm:text-5xl">{words.headline}</h1>
          <p className="text-lg text-muted">{words.lead}</p>
          <div className="flex flex-wrap gap-3">
            <ButtonLink href="/auth/login" data-testid="sign-in">
              {messages.site.signIn}
            </ButtonLink>
            <ButtonLink href="/auth/registration" variant="secondary" data-testid="register">
              {messages.site.register}
            </ButtonLink>
          </div>
        </section>
        <ul className="grid gap-4 sm:grid-cols-3">
          {[words.people, words.machines, words.services].map(({ title, text }) => (
            <li key={title} className="rounded-xl border border-line bg-surface p-6">
              <h2 className="font-semibold">{title}</h2>
              <p className="mt-2 text-muted">{text}</p>
            </li>
          ))}
        </ul>
      </main>
    </>
  );
}
