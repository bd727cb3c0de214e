import type { Person } from "@/features/person/me";
import { ButtonLink } from "@/features/site/button";
import { messages } from "@/lib/messages";

export function PersonCard({ person }: { person: Person }) {
  const words = messages.home;
  return (
    <section className="grid gap-6 rounded-xl border border-line bg-surface p-6 sm:p-8">
      <div>
        <h1 className="wrap-anywhere font-semibold text-2xl tracking-tight">
          {person.name ? words.greeting(person.name) : words.greetingNameless}
        </h1>
        <p className="mt-1 text-muted">{words.verifiedByDoor}</p>
      </div>
      <dl className="grid gap-x-8 gap-y-4 sm:grid-cols-[auto_1fr]">
        <Fact label={words.name} value={person.name || words.noName} testId="me-name" />
        <Fact label={words.email} value={person.email || words.noEmail} testId="me-email" />
        <Fact label={words.id} value={person.id} testId="me-id" mono />
      </dl>
      <div>
        <ButtonLink href="/auth/settings" variant="secondary">
          {words.manage}
        </ButtonLink>
      </div>
    </section>
  );
}

function Fact({
  label,
  value,
  testId,
  mono,
}: {
  label: string;
  value: string;
  testId: string;
  mono?: boolean;
}) {
  return (
    <div className="grid gap-0.5 sm:contents">
      <dt className="text-muted">{label}</dt>
      <dd data-testid={testId} className={mono ? "break-all font-mono text-sm/6" : "wrap-anywhere"}>
        {value}
      </dd>
    </div>
  );
}
