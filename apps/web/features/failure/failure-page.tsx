import type { Failure } from "@/features/failure/failure";
import { FailureNotice } from "@/features/failure/failure-notice";
import { Centered } from "@/features/site/centered";

export function FailurePage({ failure }: { failure: Failure }) {
  return (
    <Centered>
      <FailureNotice failure={failure} />
    </Centered>
  );
}
