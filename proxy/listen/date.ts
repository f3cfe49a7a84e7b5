/** Value of the Date field, made once a second and not once a response. */
export function httpDate(nowMs: number): string {
  if (nowMs >= validUntilMs) {
    const wallMs = Date.now();
    text = new Date(wallMs).toUTCString();
    validUntilMs = nowMs + 1000 - (wallMs % 1000);
  }
  return text;
}

let text = '';
let validUntilMs = 0;
