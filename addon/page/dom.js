// Elements and the small things that every part of the page does with them.

/** Makes an element. Attributes with the value false are left out, functions are listeners. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Puts children in the place of all others, and keeps the focus on whatever has the same key. */
export function fill(parent, ...children) {
  const key = parent.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  parent.replaceChildren(...children.flat().filter(Boolean));
  if (key) parent.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

/** Copies a text. Most homes are reached over plain HTTP, where browsers hide the clipboard. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el('textarea', { readonly: true, class: 'unseen', 'aria-hidden': 'true' });
    area.value = text;
    const before = document.activeElement;
    document.body.append(area);
    area.select();
    let copied = false;
    try {
      copied = document.execCommand('copy');
    } finally {
      area.remove();
      before?.focus();
    }
    return copied;
  }
}

let timer;
/** Says something that goes away again. */
export function toast(text) {
  clearTimeout(timer);
  byId('toast').textContent = text;
  timer = setTimeout(() => (byId('toast').textContent = ''), 4000);
}

let dialogs = 0;
/** Shows a dialog over everything else; it goes when it is closed. */
export function opened(title, body) {
  const id = `dialog-${++dialogs}`;
  const dialog = el('dialog', { 'aria-labelledby': id, close: () => dialog.remove() }, el('h2', { id }, title), body);
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Asks before something is done that is hard to take back; gives whether it may be done. */
export function confirmed(title, text, action, cancel) {
  return new Promise((resolve) => {
    const dialog = opened(title, el('form', { method: 'dialog' }, el('div', {}, text),
      el('div', { class: 'actions' }, el('button', { value: 'no', autofocus: true }, cancel), el('button', { value: 'yes', class: 'danger' }, action))));
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'));
  });
}

/** A change at the bridge; gives its answer, or throws what went wrong in words. */
export async function change(path, body, method = 'POST') {
  const reply = await fetch(path, {
    method,
    headers: { 'X-MCP-Bridge-Page': '1', ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await reply.text();
  let answer = {};
  try {
    answer = JSON.parse(text);
  } catch { /* Not from the bridge: the status says what there is to say. */ }
  if (!reply.ok) throw new Error([answer.title ?? `HTTP ${reply.status}`, answer.detail, answer.fix].filter(Boolean).join(' – '));
  return answer;
}

/** A button that changes something, and says what went wrong if it did not work. */
export function action(label, work, attributes = {}) {
  return el('button', { type: 'button', 'data-key': label, ...attributes, click: async ({ currentTarget: button }) => {
    button.disabled = true;
    try {
      await work();
    } catch (error) {
      toast(error.message);
    } finally {
      button.disabled = false;
    }
  } }, label);
}
