import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: {
    alias: {
      "@": import.meta.dirname,
      // The guard throws outside a server build; the tests are the server here.
      "server-only": `${import.meta.dirname}/node_modules/server-only/empty.js`,
    },
  },
  test: {
    include: ["{app,features,lib}/**/*.test.ts"],
    environment: "node",
    // The mocks of what Next gives a page must stand before any module under test is loaded.
    setupFiles: ["testing/browser.ts"],
  },
});
