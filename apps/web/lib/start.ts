import "server-only";
import { config } from "@/lib/config";

/** A server without its configuration must not look healthy, so it does not start at all. */
export function refuseWithoutConfig(): void {
  try {
    config();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
}
