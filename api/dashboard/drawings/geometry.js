/** Distances on the screen, in pixels. */

/** From a point to the segment between two others, or with `isRay` to the ray that goes on beyond the second. */
export function distanceTo(point, from, to, isRay = false) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const square = dx * dx + dy * dy;
  const along = square ? ((point.x - from.x) * dx + (point.y - from.y) * dy) / square : 0;
  const share = Math.max(0, isRay ? along : Math.min(1, along));
  return Math.hypot(point.x - from.x - share * dx, point.y - from.y - share * dy);
}

/** Where the ray from one point through another leaves a width: a point beyond it. */
export function endOfRay(from, to, width) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  if (!dx && !dy) return to;
  const far = (4 * width + Math.hypot(dx, dy)) / Math.hypot(dx, dy);
  return { x: from.x + dx * far, y: from.y + dy * far };
}
