import { ButtonLink } from "@/features/site/button";
import { Card } from "@/features/site/card";
import { Centered } from "@/features/site/centered";
import { messages } from "@/lib/messages";

export default function NotFound() {
  const words = messages.failure;
  return (
    <Centered>
      <Card title={words.notFound.title} text={words.notFound.text}>
        <div>
          <ButtonLink href="/">{words.goHome}</ButtonLink>
        </div>
      </Card>
    </Centered>
  );
}
