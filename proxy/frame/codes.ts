/** Frame types of RFC 9113 §6. Types above are unknown and ignored (§4.1). */
export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Bits of a frame's flags; ack and endStream are the same bit of different frames. */
export const frameFlags = { ack: 0x1, endStream: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

/** Why a stream or a connection ends (RFC 9113 §7). */
export const errorCodes = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  connectError: 0xa,
  enhanceYourCalm: 0xb,
  inadequateSecurity: 0xc,
  http11Required: 0xd,
} as const;

/** Identifiers of RFC 9113 §6.5.2 and RFC 8441 §3. */
export const settingIds = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
  enableConnectProtocol: 8,
} as const;

/** Length of a frame's head (RFC 9113 §4.1). */
export const frameHeadBytes = 9;
/** The payload that every peer takes, and all that is ever sent or taken here (SETTINGS_MAX_FRAME_SIZE is left alone). */
export const mostFrameBytes = 16_384;
/** What windows and their increments can be at most (RFC 9113 §6.9.1). */
export const mostWindowBytes = 0x7fffffff;
/** Every window before SETTINGS say otherwise. */
export const plainWindowBytes = 65_535;
/** With what every client begins (RFC 9113 §3.4). */
export const preface: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
