/**
 * Stands where the client library has one class per kind of object and API group, 20,000 lines that nobody here calls
 * (kubeconfig.ts). `KubeConfig` names these two in a method that makes such clients.
 */
export const ServerConfiguration = undefined;
export const createConfiguration = undefined;
