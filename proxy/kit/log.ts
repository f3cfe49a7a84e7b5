/** What a part needs to say something. pino's logger fits; fields name the row or object that the line is about. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
