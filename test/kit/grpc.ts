import {
  type Client,
  type ClientOptions,
  credentials,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
  type ServiceDefinition,
} from '@grpc/grpc-js';

const bytes = {
  requestSerialize: (value: Buffer) => value,
  requestDeserialize: (value: Buffer) => value,
  responseSerialize: (value: Buffer) => value,
  responseDeserialize: (value: Buffer) => value,
};

/** One method of each kind; messages are bytes. */
export const echoService = {
  unary: { path: '/test.Echo/Unary', requestStream: false, responseStream: false, ...bytes },
  collect: { path: '/test.Echo/Collect', requestStream: true, responseStream: false, ...bytes },
  expand: { path: '/test.Echo/Expand', requestStream: false, responseStream: true, ...bytes },
  talk: { path: '/test.Echo/Talk', requestStream: true, responseStream: true, ...bytes },
} as const satisfies ServiceDefinition;

export interface EchoHandlers {
  unary: handleUnaryCall<Buffer, Buffer>;
  collect: handleClientStreamingCall<Buffer, Buffer>;
  expand: handleServerStreamingCall<Buffer, Buffer>;
  talk: handleBidiStreamingCall<Buffer, Buffer>;
}

/** A real gRPC server. */
export async function startEcho(
  handlers: EchoHandlers,
): Promise<{ port: number; server: Server; stop(): Promise<void> }> {
  const server = new Server();
  server.addService(echoService, { ...handlers });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { port, server, stop: async () => server.forceShutdown() };
}

const EchoClient = makeGenericClientConstructor(echoService, 'Echo');

/** A real gRPC client of the service behind the gateway's port. */
export function echoClient(port: number, options: ClientOptions = {}, address = '127.0.0.1'): Client {
  return new EchoClient(`${address}:${port}`, credentials.createInsecure(), {
    'grpc.default_authority': 'gw.test',
    'grpc.enable_http_proxy': 0,
    // What the gateway says is to be seen, not what the client makes of it.
    'grpc.enable_retries': 0,
    ...options,
  });
}
