// Tries the whole way to Home Assistant, step by step, and says what to do where it ends.

import { action, byId, change, el, fill, opened } from './dom.js';
import { duration, has, t } from './texts.js';

function row({ name, ms, found, trouble }) {
  const title = trouble && (has(`code.${trouble.code}`) ? t(`code.${trouble.code}`) : trouble.title);
  const fix = trouble && (has(`fix.${trouble.code}`) ? t(`fix.${trouble.code}`) : trouble.fix);
  return el('li', { class: trouble ? 'bad-step' : 'good-step' },
    el('span', { class: 'sign', 'aria-hidden': 'true' }, trouble ? '✖' : '✔'),
    el('div', {}, el('strong', {}, t(`check.${name}`)), ' ', el('span', { class: 'quiet' }, [found, duration(ms)].filter(Boolean).join(' · ')),
      trouble && el('p', { class: 'bad' }, [title, trouble.detail].filter(Boolean).join(' – ')), trouble && el('p', {}, fix)));
}

async function tryOut() {
  const list = el('ul', { class: 'check', 'aria-live': 'polite' }, el('li', { class: 'quiet' }, t('check.running')));
  const dialog = opened(t('check.title'), el('div', {}, list, el('div', { class: 'actions' },
    el('button', { type: 'button', class: 'main', autofocus: true, click: () => dialog.close() }, t('page.close')))));
  try {
    const { steps } = await change('api/check');
    fill(list, steps.map(row));
  } catch (error) {
    fill(list, el('li', { class: 'bad' }, error.message));
  }
}

export function drawCheck() {
  const place = byId('check');
  if (place.dataset.drawn === t('check.test')) return;
  place.dataset.drawn = t('check.test');
  fill(place, action(t('check.test'), tryOut));
}
