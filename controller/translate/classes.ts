import type { ObjectOf } from '../watch/objects.ts';
import type { ClusterView, ObjectKey } from '../watch/view.ts';
import { MultiMap } from './multimap.ts';
import type { TranslateOptions } from './options.ts';

const legacyAnnotation = 'kubernetes.io/ingress.class';
const defaultAnnotation = 'ingressclass.kubernetes.io/is-default-class';

/** Name of the class that an Ingress asks for, '' when it asks for none. spec.ingressClassName goes before the old annotation. */
export function classNameOf(ingress: ObjectOf<'Ingress'>): string {
  return ingress.spec.ingressClassName ?? ingress.metadata.annotations[legacyAnnotation] ?? '';
}

/**
 * Whether an Ingress is ours. By its class object's controller; a class of our own name counts without an object, so that
 * manifests work from files. Without a class: when we serve those, or a default class is ours.
 */
export function isOurs(ingress: ObjectOf<'Ingress'>, view: ClusterView, options: TranslateOptions): boolean {
  const className = classNameOf(ingress);
  if (className === '') return options.servesClassless || hasOurDefaultClass(view, options);
  const ingressClass = view.get('IngressClass', `/${className}`);
  if (ingressClass !== undefined) return isOurClass(ingressClass, options);
  return className === options.ingressClass;
}

function isOurClass(ingressClass: ObjectOf<'IngressClass'>, options: TranslateOptions): boolean {
  const { controller } = ingressClass.spec;
  return controller === options.controllerName || options.adoptedControllerNames.includes(controller);
}

function hasOurDefaultClass(view: ClusterView, options: TranslateOptions): boolean {
  for (const ingressClass of view.all('IngressClass')) {
    if (ingressClass.metadata.annotations[defaultAnnotation] === 'true' && isOurClass(ingressClass, options))
      return true;
  }
  return false;
}

/** Ingresses by the class that they ask for, ours and others': a class may become ours. */
export class ClassIndex {
  readonly #classByIngress = new Map<ObjectKey, string>();
  readonly #ingressesByClass = new MultiMap();

  /** Takes note of an Ingress as it is now; undefined: it is gone. */
  note(key: ObjectKey, ingress: ObjectOf<'Ingress'> | undefined): void {
    const before = this.#classByIngress.get(key);
    if (before !== undefined) this.#ingressesByClass.delete(before, key);
    if (ingress === undefined) {
      this.#classByIngress.delete(key);
      return;
    }
    this.#classByIngress.set(key, classNameOf(ingress));
    this.#ingressesByClass.add(classNameOf(ingress), key);
  }

  /** Ingresses that a changed IngressClass may win or lose; without a class they hang on which class is the default. */
  touchedBy(ingressClass: ObjectKey): ObjectKey[] {
    const name = ingressClass.slice(ingressClass.indexOf('/') + 1);
    return [...this.#ingressesByClass.get(name), ...this.#ingressesByClass.get('')];
  }
}
