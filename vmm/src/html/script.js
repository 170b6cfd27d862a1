// Sorts tables by a click or key on a column's heading, filters their rows, and saves the data.
'use strict';

// What a cell sorts by: its exact figure, or its words.
const key = (row, column) => {
  const cell = row.cells[column];
  if (!cell) return '';
  const figure = cell.dataset.v;
  return figure === undefined ? cell.textContent.trim().toLowerCase() : Number(figure);
};

const compare = (a, b) => {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  // What is not known comes last, whichever way.
  if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1;
  return a.localeCompare(b, 'en', { numeric: true });
};

const sort = (heading) => {
  const table = heading.closest('table');
  const body = table.tBodies[0];
  // Figures begin with the greatest, words with a.
  const before = heading.getAttribute('aria-sort');
  const first = heading.classList.contains('n') ? 'descending' : 'ascending';
  const second = first === 'ascending' ? 'descending' : 'ascending';
  const order = before === first ? second : first;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
  heading.setAttribute('aria-sort', order);
  const sign = order === 'ascending' ? 1 : -1;
  const rows = [...body.rows].map((row) => [key(row, heading.cellIndex), row]);
  rows.sort((a, b) => sign * compare(a[0], b[0]));
  body.append(...rows.map(([, row]) => row));
};

for (const table of document.querySelectorAll('table.sortable')) {
  if (table.tBodies[0].rows.length < 2) continue;
  for (const heading of table.tHead.rows[0].querySelectorAll('th')) {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...heading.childNodes);
    button.addEventListener('click', () => sort(heading));
    heading.append(button);
  }
}

for (const search of document.querySelectorAll('.search')) {
  const rows = [...document.getElementById(search.dataset.of).querySelectorAll('tbody tr')];
  const input = search.querySelector('[type=search]');
  const differing = search.querySelector('[type=checkbox]');
  const output = search.querySelector('output');
  search.hidden = rows.length < 2;
  search.addEventListener('input', () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const differs = !differing?.checked || row.classList.contains('differs');
      row.hidden = !differs || !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    output.textContent = shown < rows.length ? `${shown} of ${rows.length}` : '';
  });
}

const save = document.getElementById('save');
if (save) {
  save.hidden = false;
  const text = document.getElementById('data').textContent;
  save.href = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
}
