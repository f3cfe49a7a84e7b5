interface Panel {
  title: string;
  /** As Grafana calls it. */
  unit: 'reqps' | 'percentunit' | 's' | 'Bps' | 'short' | 'bytes' | 'cps' | 'dateTimeFromNow';
  help: string;
  /** Query by the legend of its lines. */
  queries: Readonly<Record<string, string>>;
  /** One number instead of lines over time. */
  isStat?: true;
}

/** Panels by the row that they stand in. */
export interface Dashboard {
  title: string;
  uid: string;
  rows: Readonly<Record<string, readonly Panel[]>>;
}

/** What Grafana reads. */
export function grafana({ title, uid, rows }: Dashboard): object {
  let id = 0;
  let y = 0;
  const panels = Object.entries(rows).flatMap(([row, panels]) => {
    const head = {
      id: ++id,
      type: 'row',
      title: row,
      collapsed: false,
      panels: [],
      gridPos: { h: 1, w: 24, x: 0, y: y++ },
    };
    const body = panels.map((panel, i) => {
      const gridPos = { h: 8, w: 8, x: 8 * (i % 3), y: y + 8 * Math.floor(i / 3) };
      return { id: ++id, ...grafanaPanel(panel), gridPos };
    });
    y += 8 * Math.ceil(panels.length / 3);
    return [head, ...body];
  });
  return {
    title,
    uid,
    tags: ['sluice'],
    schemaVersion: 39,
    editable: true,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    templating: { list: [{ name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus' }] },
    panels,
  };
}

function grafanaPanel({ title, unit, help, queries, isStat }: Panel): object {
  const datasource = { type: 'prometheus', uid: '$' + '{datasource}' };
  return {
    type: isStat ? 'stat' : 'timeseries',
    title,
    description: help,
    datasource,
    fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
    targets: Object.entries(queries).map(([legendFormat, expr], i) => ({
      refId: String.fromCharCode(65 + i),
      datasource,
      expr,
      legendFormat,
    })),
  };
}
