// A `return_to` comes from the address bar, so anyone can write one. It is followed only when it stays on our origin.

// Browsers read a backslash as a slash and drop tabs and line breaks, which turns "/\evil.example" into another host.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are exactly what is refused here
const deceptive = /[\\\u0000-\u001f\u007f]/;

/** The absolute URL to return to, or undefined when the wish does not lead to the public origin. */
export function safeReturnTo(wish: string | undefined, publicUrl: string): string | undefined {
  if (!wish || deceptive.test(wish) || wish !== wish.trim()) {
    return undefined;
  }
  const relative = wish.startsWith("/") && !wish.startsWith("//");
  if (!relative && !URL.canParse(wish)) {
    return undefined;
  }
  const url = relative ? new URL(wish, publicUrl) : new URL(wish);
  if (url.origin !== publicUrl || url.username !== "" || url.password !== "") {
    return undefined;
  }
  return url.href;
}
