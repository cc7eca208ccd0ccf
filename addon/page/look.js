// Follows Home Assistant: the colours of its theme, its language, the direction of its writing.
// Under ingress its page is the parent of this one and of the same origin.

const COLOURS = ['primary-background-color', 'card-background-color', 'secondary-background-color', 'primary-text-color',
  'secondary-text-color', 'primary-color', 'divider-color', 'success-color', 'warning-color', 'error-color',
  'ha-card-border-radius', 'ha-card-border-color'];

/** Home Assistant's document; nothing if this page stands alone, or the parent is a stranger. */
function parentDocument() {
  try {
    return window.parent !== window && window.parent.document.documentElement ? window.parent.document : null;
  } catch {
    return null;
  }
}

/** How light a colour is, 0 to 1; nothing if it cannot be told. */
function lightness(colour) {
  const probe = document.createElement('canvas').getContext('2d');
  if (!probe || !colour) return null;
  probe.fillStyle = colour;
  const hex = /^#(..)(..)(..)$/.exec(probe.fillStyle);
  if (!hex) return null;
  const [red, green, blue] = hex.slice(1).map((part) => parseInt(part, 16) / 255);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function dress(theirs) {
  const own = document.documentElement;
  const style = theirs.defaultView.getComputedStyle(theirs.documentElement);
  for (const name of COLOURS) {
    const value = style.getPropertyValue(`--${name}`).trim();
    if (value) own.style.setProperty(`--${name}`, value);
    else own.style.removeProperty(`--${name}`);
  }
  const light = lightness(style.getPropertyValue('--card-background-color').trim());
  own.classList.toggle('dark', light !== null && light < 0.4);
  own.classList.toggle('light', light !== null && light >= 0.4);
  own.dir = theirs.documentElement.dir || 'ltr';
}

/** Takes on Home Assistant's look now and whenever it changes; calls `speak` with its language. */
export function follow(speak) {
  const theirs = parentDocument();
  if (!theirs) return speak([...navigator.languages]);
  const wanted = () => [theirs.documentElement.lang, ...navigator.languages].filter(Boolean);
  const again = () => {
    dress(theirs);
    speak(wanted());
  };
  new MutationObserver(again).observe(theirs.documentElement, { attributes: true, attributeFilter: ['style', 'lang', 'class', 'dir'] });
  dress(theirs);
  return speak(wanted());
}

/** Lets Home Assistant show another of its own pages; says whether it is there to do so. */
export function navigate(path) {
  if (!parentDocument()) return false;
  window.parent.postMessage({ type: 'home-assistant/navigate', path }, window.location.origin);
  return true;
}
