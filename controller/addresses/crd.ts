import { z } from 'zod';
import { type OwnKindName, ownGroup, ownKinds, ownVersion } from './kinds.ts';

/** OpenAPI v3 in the structural form that an API server wants. */
export interface Schema {
  type?: string;
  description?: string;
  properties?: Record<string, Schema>;
  items?: Schema;
  additionalProperties?: Schema;
  required?: readonly string[];
  [keyword: string]: unknown;
}

/** The schema of one of our kinds as people write it: fields with a default may be left out. */
export function openApi(schema: z.ZodType): Schema {
  return structural(z.toJSONSchema(schema, { io: 'input' }) as Schema);
}

/** The CustomResourceDefinition of one of our kinds, as it is applied. */
export function definitionOf(kind: OwnKindName): object {
  const { plural, shortNames, about, spec, status, columns } = ownKinds[kind];
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${ownGroup}` },
    spec: {
      group: ownGroup,
      scope: 'Cluster',
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        ...(shortNames.length > 0 && { shortNames }),
        categories: ['sluice'],
      },
      versions: [
        {
          name: ownVersion,
          served: true,
          storage: true,
          additionalPrinterColumns: [
            ...columns,
            { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
          ],
          ...(status !== null && { subresources: { status: {} } }),
          schema: {
            openAPIV3Schema: {
              description: about,
              type: 'object',
              required: ['spec'],
              properties: {
                spec: openApi(spec),
                ...(status !== null && { status: openApi(status) }),
              },
            },
          },
        },
      ],
    },
  };
}

/** Keywords that JSON Schema has and structural schemas have not, and defaults that say nothing. */
function structural(schema: Schema): Schema {
  const { $schema, propertyNames, properties, items, additionalProperties, ...kept } = schema;
  if (isEmpty(kept['default'])) delete kept['default'];
  // Written as numbers without a bound; an API server knows integers of 64 bits only.
  if (kept.type === 'integer') {
    if (kept['minimum'] === Number.MIN_SAFE_INTEGER) delete kept['minimum'];
    kept['format'] = 'int64';
  }
  return {
    ...kept,
    ...(properties && {
      properties: Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, structural(each)])),
    }),
    ...(items && { items: structural(items) }),
    ...(additionalProperties && { additionalProperties: structural(additionalProperties) }),
  };
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}
