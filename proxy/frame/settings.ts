import { errorCodes, mostFrameBytes, mostWindowBytes, settingIds } from './codes.ts';

/** Of a peer that allows any number, or has said nothing yet. */
export const assumedStreams = 100;

/** What the peer said of itself (RFC 9113 §6.5.2), as far as it matters here. */
export class PeerSettings {
  /** Streams that we may have open. Clients begin with what most servers allow, to have few refused. */
  maxConcurrentStreams: number = assumedStreams;
  /** It is the peer's own word. */
  hasSaidStreams = false;
  initialWindowSize = 65_535;
  /** Fields of a head, names, values and 32 for each, that it is ready to take. */
  maxHeaderListSize = Number.POSITIVE_INFINITY;
  /** RFC 8441 §3. */
  allowsConnectProtocol = false;

  /**
   * Takes one setting.
   * @param isFromServer a server must not ask for pushes
   * @returns the error of the connection that it is, or noError
   */
  take(id: number, value: number, isFromServer: boolean): number {
    switch (id) {
      case settingIds.enablePush:
        if (value > 1 || (isFromServer && value === 1)) return errorCodes.protocolError;
        break;
      case settingIds.maxConcurrentStreams:
        this.maxConcurrentStreams = value;
        this.hasSaidStreams = true;
        break;
      case settingIds.initialWindowSize:
        if (value > mostWindowBytes) return errorCodes.flowControlError;
        this.initialWindowSize = value;
        break;
      case settingIds.maxFrameSize:
        // More than the least is never sent.
        if (value < mostFrameBytes || value > 0xffffff) return errorCodes.protocolError;
        break;
      case settingIds.maxHeaderListSize:
        this.maxHeaderListSize = value;
        break;
      case settingIds.enableConnectProtocol:
        // Not to be taken back (RFC 8441 §3).
        if (value > 1 || (this.allowsConnectProtocol && value === 0)) return errorCodes.protocolError;
        this.allowsConnectProtocol = value === 1;
    }
    return errorCodes.noError;
  }
}
