/** Imported before a process of ours (`NODE_OPTIONS=--import`), writes the modules that it loads to the file that MODULES_FILE names. */
import { appendFileSync } from 'node:fs';
import { registerHooks } from 'node:module';

const file = process.env['MODULES_FILE'] ?? '';

registerHooks({
  load(url, context, next) {
    appendFileSync(file, `${url}\n`);
    return next(url, context);
  },
});
