// Draws every `.depth-view` and `.depth-cloud` that appears. Plain functions, because Gradio
// replaces the element with each new result.
(() => {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const format = (value, unit) => {
    const digits = value >= 100 ? 1 : value >= 1 || value === 0 ? 2 : 3;
    return value.toFixed(digits) + (unit ? ' ' + unit : '');
  };
  const start = (view) => {
    const d = view.dataset, width = +d.width, height = +d.height, scale = +d.scale;
    const codes = new Uint16Array(bytes(d.codes).buffer), lut = bytes(d.lut);
    const find = (name) => view.querySelector(name);
    const canvas = find('.depth-stage canvas'), tip = find('.depth-tip');
    const near = find('.depth-near'), far = find('.depth-far'), text = find('.depth-value');
    const low = +d.low, high = Math.max(+d.high, low + 1e-6), idle = text.textContent;
    const position = (value) => Math.round((value - low) / (high - low) * 1000);
    const value = (slider) => low + slider.value / 1000 * (high - low);
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext('2d'), picture = context.createImageData(width, height);
    const bar = find('.depth-bar canvas');
    bar.width = 256;
    bar.height = 1;
    const draw = () => {
      const from = value(near), to = Math.max(value(far), from + 1e-6), factor = 255 / (to - from);
      for (let i = 0; i < codes.length; i++) {
        const share = Math.round((codes[i] / scale - from) * factor);
        const entry = 3 * Math.max(0, Math.min(255, share));
        const none = codes[i] === 0;
        for (let c = 0; c < 3; c++) picture.data[4 * i + c] = none ? 40 : lut[entry + c];
        picture.data[4 * i + 3] = 255;
      }
      context.putImageData(picture, 0, 0);
      const ticks = [0, 1, 2, 3, 4].map((i) => from + i / 4 * (to - from));
      find('.depth-ticks').innerHTML = ticks.map((t) => `<span>${format(t, d.unit)}</span>`).join('');
    };
    const strip = bar.getContext('2d').createImageData(256, 1);
    for (let i = 0; i < 256; i++) {
      for (let c = 0; c < 3; c++) strip.data[4 * i + c] = lut[3 * i + c];
      strip.data[4 * i + 3] = 255;
    }
    bar.getContext('2d').putImageData(strip, 0, 0);
    const reset = () => {
      near.value = position(+d.near);
      far.value = position(+d.far);
      draw();
    };
    near.addEventListener('input', () => {
      if (+near.value > +far.value - 5) near.value = +far.value - 5;
      draw();
    });
    far.addEventListener('input', () => {
      if (+far.value < +near.value + 5) far.value = +near.value + 5;
      draw();
    });
    find('.depth-reset').addEventListener('click', reset);
    const show = (event) => {
      const box = canvas.getBoundingClientRect();
      // The picture is fitted into the canvas, with margins at two sides.
      const zoom = Math.min(box.width / width, box.height / height);
      const left = (box.width - width * zoom) / 2, top = (box.height - height * zoom) / 2;
      const x = Math.floor((event.clientX - box.left - left) / zoom);
      const y = Math.floor((event.clientY - box.top - top) / zoom);
      if (x < 0 || y < 0 || x >= width || y >= height) return hide();
      const code = codes[y * width + x];
      const label = code === 0 ? 'no depth' : format(code / scale, d.unit);
      tip.hidden = false;
      tip.textContent = label;
      tip.style.left = Math.min(event.clientX - box.left, box.width - 90) + 'px';
      tip.style.top = Math.max(event.clientY - box.top, 40) + 'px';
      text.textContent = `${label} at x ${x * d.step}, y ${y * d.step}`;
    };
    const hide = () => {
      tip.hidden = true;
      text.textContent = idle;
    };
    canvas.addEventListener('pointermove', show);
    canvas.addEventListener('pointerdown', show);
    canvas.addEventListener('pointerleave', hide);
    reset();
  };
  // Points in camera axes: x right, y down, z forward. Without a turn the view is the photograph's.
  const VERTEX = `
    attribute vec3 position, color;
    uniform vec3 center; uniform vec4 angles; uniform vec2 zoom; uniform float distance, size;
    varying vec3 shade;
    void main() {
      vec3 p = position - center;
      p = vec3(angles.x * p.x + angles.y * p.z, p.y, angles.x * p.z - angles.y * p.x);
      p = vec3(p.x, angles.z * p.y - angles.w * p.z, angles.z * p.z + angles.w * p.y);
      float z = p.z + distance;
      gl_Position = vec4(zoom.x * p.x, -zoom.y * p.y, z * (z / (distance * 20.0) * 2.0 - 1.0), z);
      gl_PointSize = clamp(size * position.z / max(z, 1e-3), 1.0, 32.0);
      shade = color;
    }`;
  const FRAGMENT = `
    precision mediump float; varying vec3 shade;
    void main() { gl_FragColor = vec4(shade, 1.0); }`;
  const points = (d) => {
    const width = +d.width, height = +d.height, [fx, fy, cx, cy] = d.camera.split(',').map(Number);
    const codes = new Uint16Array(bytes(d.codes).buffer), rgb = bytes(d.colors);
    const position = [], color = [];
    for (let y = 1; y < height; y++) for (let x = 1; x < width; x++) {
      const i = y * width + x, code = codes[i], near = [codes[i - 1], codes[i - width]];
      // Pixels at depth edges lie between two surfaces.
      if (code === 0 || near.some((n) => n > 1.1 * code || code > 1.1 * n)) continue;
      const z = code / d.scale;
      position.push((x - cx) / fx * z, (y - cy) / fy * z, z);
      color.push(rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2]);
    }
    return [new Float32Array(position), new Uint8Array(color), fy, height, fx, width];
  };
  const startCloud = (view) => {
    const canvas = view.querySelector('canvas');
    const gl = canvas.getContext('webgl', { antialias: true, preserveDrawingBuffer: true });
    if (!gl) {
      view.textContent = 'This browser has no WebGL, which the 3-D view needs.';
      return;
    }
    const [position, color, fy, height, fx, width] = points(view.dataset);
    view.dataset.points = position.length / 3;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    const upload = (name, data, type, normalized) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
      const index = gl.getAttribLocation(program, name);
      gl.enableVertexAttribArray(index);
      gl.vertexAttribPointer(index, 3, type, normalized, 0, 0);
    };
    upload('position', position, gl.FLOAT, false);
    upload('color', color, gl.UNSIGNED_BYTE, true);
    gl.enable(gl.DEPTH_TEST);
    const depths = position.filter((_, i) => i % 3 === 2).sort();
    const middle = depths.length ? depths[depths.length >> 1] : 1;
    let yaw, pitch, distance;
    const uniform = (name) => gl.getUniformLocation(program, name);
    const draw = () => {
      const ratio = window.devicePixelRatio || 1;
      canvas.width = canvas.clientWidth * ratio;
      canvas.height = canvas.clientHeight * ratio;
      if (!canvas.width || !canvas.height) return;
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clearColor(0.925, 0.933, 0.949, 1);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      // Pixels of the canvas for one of the photograph, so that all of it fits.
      const fit = Math.min(canvas.width / width, canvas.height / height);
      gl.uniform2f(uniform('zoom'), 2 * fx * fit / canvas.width, 2 * fy * fit / canvas.height);
      gl.uniform3f(uniform('center'), 0, 0, middle);
      gl.uniform4f(uniform('angles'), Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch));
      gl.uniform1f(uniform('distance'), distance);
      gl.uniform1f(uniform('size'), 1.5 * fit);
      gl.drawArrays(gl.POINTS, 0, position.length / 3);
    };
    const reset = () => {
      [yaw, pitch, distance] = [0.3, 0.15, 1.15 * middle];
      draw();
    };
    const fingers = new Map();
    const spread = () => {
      const [a, b] = [...fingers.values()];
      return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    };
    canvas.addEventListener('pointerdown', (event) => {
      fingers.set(event.pointerId, event);
      canvas.setPointerCapture(event.pointerId);
    });
    const lift = (event) => fingers.delete(event.pointerId);
    canvas.addEventListener('pointerup', lift);
    canvas.addEventListener('pointercancel', lift);
    canvas.addEventListener('pointermove', (event) => {
      const last = fingers.get(event.pointerId);
      if (!last) return;
      const before = fingers.size === 2 ? spread() : 0;
      fingers.set(event.pointerId, event);
      if (fingers.size === 2) distance *= before / Math.max(spread(), 1);
      else {
        yaw -= (event.clientX - last.clientX) * 0.006;
        pitch += (event.clientY - last.clientY) * 0.006;
      }
      draw();
    });
    canvas.addEventListener('wheel', (event) => {
      event.preventDefault();
      distance *= Math.exp(event.deltaY * 0.001);
      draw();
    }, { passive: false });
    view.querySelector('.depth-reset').addEventListener('click', reset);
    reset();
    // A canvas of a closed tab has no size.
    new ResizeObserver(draw).observe(canvas);
  };
  const NEW = '.depth-view:not([data-ready]), .depth-cloud:not([data-ready])';
  const search = () => document.querySelectorAll(NEW).forEach((view) => {
    view.dataset.ready = '1';
    (view.classList.contains('depth-view') ? start : startCloud)(view);
  });
  const observe = () => {
    new MutationObserver(search).observe(document.body, { childList: true, subtree: true });
    search();
  };
  if (document.body) observe();
  else document.addEventListener('DOMContentLoaded', observe);
})();
