/** Runs once, before the first request. Only the Node server has anything to check. */
export async function register() {
  if (process.env.NEXT_RUNTIME === "nodejs") {
    const { refuseWithoutConfig } = await import("@/lib/start");
    refuseWithoutConfig();
  }
}
