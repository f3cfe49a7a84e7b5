import type { ChildProcess } from 'node:child_process';
import { startTool } from '../edge/tool.ts';

/** Tells when an interface changes, as when its cable is cut. One `ip monitor` that lives as long as the agent. */
export class LinkMonitor {
  readonly #onChange: () => void;
  #child: ChildProcess | null = null;
  #isClosed = false;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Starts it, also again when it has ended. */
  ensure(): void {
    if (this.#child !== null || this.#isClosed) return;
    const child = startTool('ip', ['monitor', 'link'], { stdio: ['ignore', 'pipe', 'ignore'] });
    if (child instanceof Error) return;
    this.#child = child;
    child.stdout?.on('data', this.#onChange);
    const end = () => {
      if (this.#child === child) this.#child = null;
    };
    child.on('error', end);
    child.on('close', end);
  }

  close(): void {
    this.#isClosed = true;
    this.#child?.kill();
  }
}
