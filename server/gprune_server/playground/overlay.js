// Picture with pruned tokens greyed out.

const LONGEST_SIDE = 640;

/** Draw a picture and grey out the tokens of a group that are not kept. */
export function draw(canvas, picture, group, kept) {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(picture.width, picture.height));
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  if (!group) return;
  const keptTokens = new Set(kept);
  const width = canvas.width / group.columns, height = canvas.height / group.rows;
  context.fillStyle = "rgba(40, 42, 46, 0.86)";
  for (let token = 0; token < group.rows * group.columns; token++) {
    if (keptTokens.has(token)) continue;
    const left = Math.round((token % group.columns) * width), top = Math.round(Math.floor(token / group.columns) * height);
    context.fillRect(left, top, Math.ceil(width), Math.ceil(height));
  }
}
