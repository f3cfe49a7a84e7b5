/**
 * Takes out what looks like a key, a token or a password of a URL. Nothing that is collected should have one; a report goes to strangers,
 * so it is looked at once more.
 */
export function scrubbed(text: string): string {
  return text
    .replace(/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----/g, removed)
    .replace(/\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+/g, removed)
    .replace(/\b(bearer|basic)\s+[\w+/=.~-]{8,}/gi, `$1 ${removed}`)
    .replace(/(\w:\/\/[^\s:/@"]*:)[^\s@/"]+@/g, `$1${removed}@`);
}

const removed = '(removed)';
