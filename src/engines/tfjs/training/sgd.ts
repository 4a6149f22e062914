import type { Tensor } from '@tensorflow/tfjs';
import type { Recipe } from '../../../training/recipe.js';
import type { TensorFlow } from '../backend.js';

/** Stochastic gradient descent with momentum and weight decay as `torch.optim.SGD` does it. */
export class Sgd {
  readonly #tf: TensorFlow;
  readonly #nesterov: boolean;
  readonly #decayed: ReadonlySet<string>;
  readonly #momentum: Tensor;
  readonly #decay: Tensor;
  readonly #momenta: Map<string, Tensor>;

  /** @param momenta kept tensors, now owned by this object; a parameter without one starts at 0 */
  constructor(
    tf: TensorFlow,
    recipe: Pick<Recipe, 'momentum' | 'nesterov' | 'weightDecay'>,
    decayed: ReadonlySet<string>,
    momenta: Map<string, Tensor>,
  ) {
    this.#tf = tf;
    this.#nesterov = recipe.nesterov;
    this.#decayed = decayed;
    this.#momentum = tf.keep(tf.scalar(recipe.momentum));
    this.#decay = tf.keep(tf.scalar(recipe.weightDecay));
    this.#momenta = momenta;
  }

  get momenta(): ReadonlyMap<string, Tensor> {
    return this.#momenta;
  }

  /** Replaces each parameter that has a gradient, and disposes of the old one. Call it within `tf.tidy`. */
  step(parameters: Map<string, Tensor>, gradients: ReadonlyMap<string, Tensor>, learningRate: number): void {
    const tf = this.#tf;
    const rate = tf.scalar(learningRate);
    for (const [name, plain] of gradients) {
      const parameter = parameters.get(name)!;
      const old = this.#momenta.get(name);
      // g = gradient + decay w;  v = momentum v + g;  w -= rate (v, or by Nesterov g + momentum v)
      const gradient = this.#decayed.has(name) ? tf.add(plain, tf.mul(parameter, this.#decay)) : plain;
      const velocity = old === undefined ? tf.clone(gradient) : tf.add(tf.mul(old, this.#momentum), gradient);
      const update = this.#nesterov ? tf.add(gradient, tf.mul(velocity, this.#momentum)) : velocity;
      this.#momenta.set(name, tf.keep(velocity));
      parameters.set(name, tf.keep(tf.sub(parameter, tf.mul(update, rate))));
      parameter.dispose();
      old?.dispose();
    }
  }

  close(): void {
    this.#tf.dispose([this.#momentum, this.#decay, ...this.#momenta.values()]);
  }
}
