// The settings in force, each with where it comes from.

import { byId, el, fill } from './dom.js';
import { t } from './texts.js';

let settings;
let all = false;

const shown = (value) => (value === null || value === '' || value?.length === 0 ? '–' : typeof value === 'string' ? value : JSON.stringify(value));

function draw() {
  const own = settings.filter(({ source }) => source !== 'default');
  const rows = all ? settings : own;
  const flip = el('button', { type: 'button', class: 'plain', 'data-key': 'flip', 'aria-pressed': String(all), click: () => ((all = !all), draw()) }, t('settings.all', { count: settings.length }));
  fill(byId('settings-inside'), el('div', { class: 'actions' }, el('p', { class: 'quiet' }, t(rows.length ? 'settings.more' : 'settings.none')), el('span', { class: 'gap' }), flip),
    rows.length > 0 && el('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-labelledby': 'settings-title' },
      el('table', { class: 'settings' }, el('caption', { class: 'unseen' }, t('settings.title')),
        el('thead', {}, el('tr', {}, ['key', 'value', 'source'].map((name) => el('th', { scope: 'col' }, t(`settings.${name}`))))),
        el('tbody', {}, rows.map(({ key, value, source }) => el('tr', {},
          el('th', { scope: 'row', class: 'code' }, key), el('td', { class: 'code' }, shown(value)),
          el('td', { class: 'quiet' }, source === 'default' ? t('settings.default') : source)))))));
}

/** Asked for when somebody wants to see them. */
export function watchSettings() {
  byId('settings').addEventListener('toggle', async ({ currentTarget }) => {
    if (!currentTarget.open) return;
    const reply = await fetch('api/settings');
    if (!reply.ok) return;
    ({ settings } = await reply.json());
    draw();
  });
}

export const redrawSettings = () => settings && draw();
