import { defaultCertificateId } from '../publish/fleetrows.ts';
import { defaultTranslateOptions, type RedirectStatus, type TranslateOptions } from '../translate/options.ts';

/** Settings that controller and standalone share. */
interface TranslateSettings {
  ingressClass: string;
  controllerClass: string;
  adoptControllerClass: readonly string[];
  watchIngressWithoutClass: boolean;
  defaultSslCertificate: string | null;
  defaultBackendService: string | null;
  configmap: string | null;
  tcpServicesConfigmap: string | null;
  udpServicesConfigmap: string | null;
  trustedProxies: string[];
  httpRedirectCode: RedirectStatus;
  hsts: string | null;
  publicHttpPort: number | null;
  publicHttpsPort: number | null;
}

/** From the words of the command line to those of translate; `rules`: what the command decides and no setting does. */
export function translateOptions(
  settings: TranslateSettings,
  rules: Pick<TranslateOptions, 'allowsLoopbackEndpoints'>,
): TranslateOptions {
  const { trustedProxies, hsts } = settings;
  const { http, https } = defaultTranslateOptions.listeners;
  return {
    ...defaultTranslateOptions,
    ingressClass: settings.ingressClass,
    controllerName: settings.controllerClass,
    adoptedControllerNames: settings.adoptControllerClass,
    servesClassless: settings.watchIngressWithoutClass,
    listeners: {
      http: { ...http, publicPort: settings.publicHttpPort, trustedProxies },
      https: { ...https, publicPort: settings.publicHttpsPort, trustedProxies, hsts },
    },
    httpRedirectStatus: settings.httpRedirectCode,
    defaultCertificateId,
    defaultCertificateSecret: settings.defaultSslCertificate,
    defaultBackendService: settings.defaultBackendService,
    configMap: settings.configmap,
    tcpServices: settings.tcpServicesConfigmap,
    udpServices: settings.udpServicesConfigmap,
    ...rules,
  };
}

/** ConfigMaps that the settings name: the only ones that are watched. */
export function configMapsInUse(
  settings: Pick<TranslateSettings, 'configmap' | 'tcpServicesConfigmap' | 'udpServicesConfigmap'>,
): string[] {
  const { configmap, tcpServicesConfigmap, udpServicesConfigmap } = settings;
  return [configmap, tcpServicesConfigmap, udpServicesConfigmap].filter((name) => name !== null);
}
